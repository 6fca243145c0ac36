"""Every message that crosses the mesh, and every subject it travels on."""
