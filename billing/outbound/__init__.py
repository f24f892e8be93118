"""HTTP requests to addresses that come from outside; it knows neither events nor the gateway."""
