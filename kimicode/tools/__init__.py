"""The tools of the model: each a contract, a prompt in prompts/tools/, and access to files through the sandbox only."""
