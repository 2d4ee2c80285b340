"""Settings: documented models of every option (`schema`) and how they are read (`load`)."""
