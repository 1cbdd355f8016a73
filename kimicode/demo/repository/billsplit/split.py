"""Who pays how much."""


def split(cents: int, people: int) -> list[int]:
    """Shares in cents, the larger ones first. They differ by one cent at most."""
    if people < 1:
        raise ValueError("at least one person has to pay")
    share = round(cents / people)
    return [share] * people
