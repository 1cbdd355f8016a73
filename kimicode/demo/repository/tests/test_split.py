import unittest

from billsplit.split import split


class SplitTest(unittest.TestCase):
    def test_even(self):
        self.assertEqual(split(900, 3), [300, 300, 300])

    def test_one_person(self):
        self.assertEqual(split(1234, 1), [1234])

    def test_nobody(self):
        with self.assertRaises(ValueError):
            split(100, 0)

    def test_nothing_is_lost(self):
        self.assertEqual(sum(split(10000, 3)), 10000)
