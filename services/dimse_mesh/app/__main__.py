"""`python -m dimse_mesh.app`: the same as `dimse-mesh`."""

from dimse_mesh.app.cli import main

if __name__ == "__main__":
    main()
