"""From files to examples, and what is wrong with them."""
