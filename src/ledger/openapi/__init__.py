"""What the API says of itself: its OpenAPI document, made of the routes and structs, and the page that shows it."""
