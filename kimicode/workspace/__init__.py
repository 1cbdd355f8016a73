"""The user's repository and the agent's checkouts of it: capture, snapshot, restore, vet, commit, apply."""
