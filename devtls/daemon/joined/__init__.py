"""Several `devtls serve` of one user behind one proxy: the first one serves, the others join it."""
