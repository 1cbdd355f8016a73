"""The agent: the loop, the dispatch of one tool call, policy, context and prompt."""
