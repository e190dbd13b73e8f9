"""The machine: files, processes, operating system settings, keychains. Plan first (pure), then execute."""
