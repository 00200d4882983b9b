"""SoftHSM 2 as the hardware of tests: real tokens, each in a folder of its own."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from programs import program

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
LABEL, PIN = "strongroom-test", "a-pin-of-the-test"


def new_token(folder: Path, label: str = LABEL, pin: str = PIN) -> dict[str, str]:
    """Make a token in a folder; return the environment in which the module finds it."""
    tool = program("softhsm2-util", "softhsm2")
    tokens = folder / "tokens"
    tokens.mkdir(parents=True, exist_ok=True)
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    environment = {"SOFTHSM2_CONF": str(configuration)}
    made = [tool, "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", "so-" + pin]
    subprocess.run(made, env={**os.environ, **environment}, check=True, capture_output=True)
    return environment


def pin_file(folder: Path, pin: str = PIN) -> Path:
    """Write the PIN into a file."""
    path = folder / "pin"
    path.write_text(pin + "\n")
    path.chmod(0o600)
    return path


def token_settings(folder: Path, module: Path = MODULE, protection: str = "pkcs11-root") -> Mapping[str, str]:
    """Return the variables that have a server keep its domain keys in the token of a folder, or all keys."""
    return {
        "STRONGROOM_KEY_PROTECTION": protection,
        "STRONGROOM_PKCS11_MODULE": str(module),
        "STRONGROOM_PKCS11_TOKEN": LABEL,
        "STRONGROOM_PKCS11_PIN_FILE": str(pin_file(folder)),
    }


class FaultyModule:
    """A module that passes all calls on to SoftHSM, unless it is told to fail (``faulty_module.c``)."""

    def __init__(self, folder: Path) -> None:
        """Compile it in a folder."""
        compiler = program("gcc", "gcc")
        self.path = folder / "faulty.so"
        self._control = folder / "control"
        self.behave("")
        source = Path(__file__).with_name("faulty_module.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", self.path, source], check=True, capture_output=True)
        self.environment = {"FAULTY_MODULE": str(MODULE), "FAULTY_CONTROL": str(self._control)}

    def behave(self, how: str) -> None:
        """Have it behave in a way that ``faulty_module.c`` has; or as SoftHSM, for an empty text."""
        draft = self._control.with_suffix(".new")
        draft.write_text(how)
        draft.replace(self._control)
