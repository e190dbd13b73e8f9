"""Where the facts of `devtls doctor` come from: one thin module per subject, none of which changes anything."""
