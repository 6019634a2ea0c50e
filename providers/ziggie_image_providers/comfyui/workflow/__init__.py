"""Use the workflows that people have saved of their own."""
