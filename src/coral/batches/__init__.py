"""Provider batches, `--batch`: a turn of all conversations is one batch, at half the price."""
