"""What mfgviz is made of: the bill of its software, and whether that is what is installed."""
