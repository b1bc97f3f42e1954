"""From checkpoints to numbers: loading, features of every layer, and the measures made of them."""
