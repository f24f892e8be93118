"""Money that goes back, and what lowers an invoice: refunds, credits, discounts."""
