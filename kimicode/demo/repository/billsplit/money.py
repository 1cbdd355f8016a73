"""Amounts of money as whole cents."""


def parse_amount(text: str) -> int:
    """Cents of an amount such as "12", "12.5" or "12.50"."""
    whole, _, fraction = text.strip().partition(".")
    if not whole.isdigit() or len(fraction) > 2 or (fraction and not fraction.isdigit()):
        raise ValueError(f"not an amount: {text!r}")
    return int(whole) * 100 + int(fraction.ljust(2, "0"))


def format_amount(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
