import sys

from billsplit.money import format_amount, parse_amount
from billsplit.split import split

if __name__ == "__main__":
    amount, people = sys.argv[1:3]
    for number, share in enumerate(split(parse_amount(amount), int(people)), 1):
        print(f"person {number}: {format_amount(share)}")
