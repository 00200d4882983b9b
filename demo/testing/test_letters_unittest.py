"""The same with unittest: ``python -m unittest``."""

import unittest

from letters import ALIAS, GoneError, Letters, TryLaterError
from typing_extensions import override

from strongroom.testing import StrongroomTestCase


class LettersTest(StrongroomTestCase):
    """Each test has an account of its own, and the AWS clients of the process act as its root user."""

    @override
    def setUp(self) -> None:
        """Make the application's key in the account of the test."""
        super().setUp()
        self.letters = Letters()
        self.letters.set_up()

    def test_a_letter_can_be_opened(self) -> None:
        self.assertEqual(self.letters.open(self.letters.seal("Dear Ada", "ada"), "ada"), "Dear Ada")

    def test_letters_are_lost_seven_days_after_the_deletion_of_their_key(self) -> None:
        key = self.kms.describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyId"]
        self.kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
        self.clock.advance(days=7)
        with self.assertRaises(GoneError):
            self.letters.seal("Dear Ada", "ada")

    def test_the_application_gives_up_while_calls_fail(self) -> None:
        self.faults.fail("Decrypt", "KMSInternalException")
        letter = self.letters.seal("Dear Ada", "ada")
        with self.assertRaises(TryLaterError):
            Letters(attempts=2).open(letter, "ada")


if __name__ == "__main__":
    unittest.main()
