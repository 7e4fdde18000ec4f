"""An agent plays: filmed (`recording`), shown in a window or a terminal, or with a person in its place (`watching`)."""
