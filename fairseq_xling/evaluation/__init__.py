"""From checkpoints to numbers: loading, features of every layer, and the measures made of them."""

import logging

# A task of fairseq sets the root logger to DEBUG when it is imported; matplotlib then tells of every font it sees.
logging.getLogger("matplotlib").setLevel(logging.WARNING)
