"""What the black-box and interop tests are made of: the server, its database, tracker clients."""
