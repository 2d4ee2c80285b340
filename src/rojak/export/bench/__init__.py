"""How fast is a model, and how much memory does it need, beside other programs on the same sound."""
