"""How predictions leave the network."""
