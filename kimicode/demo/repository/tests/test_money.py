import unittest

from billsplit.money import format_amount, parse_amount


class MoneyTest(unittest.TestCase):
    def test_parse(self):
        self.assertEqual(parse_amount("12"), 1200)
        self.assertEqual(parse_amount("12.5"), 1250)
        self.assertEqual(parse_amount(" 0.07 "), 7)

    def test_refuses_what_is_no_amount(self):
        for text in ("", "1.234", "-1", "a.b"):
            with self.assertRaises(ValueError):
                parse_amount(text)

    def test_format(self):
        self.assertEqual(format_amount(1205), "12.05")
