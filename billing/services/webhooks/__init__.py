"""Events to the outside: the event feed, webhook endpoints and their deliveries."""
