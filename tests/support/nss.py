"""The soft token of NSS as a second kind of hardware in tests: it differs from SoftHSM wherever it can."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from programs import APT
from softhsm import pin_file
from strongroom.crypto.pkcs11.module import leave_module, module_of

MODULE = Path("/usr/lib/x86_64-linux-gnu/libsoftokn3.so")
LABEL, PIN = "NSS Certificate DB", "a-pin-of-the-test"
_SLOT, _SECURITY_OFFICER = 2, 0


def new_database(folder: Path) -> str:
    """Make a database with a PIN in a folder; return what the module is initialized with to use it."""
    if not MODULE.exists():
        subprocess.run([APT, "libnss3"], check=True)
    folder.mkdir(exist_ok=True)
    arguments = f"configdir='sql:{folder}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=''"
    module = module_of(MODULE, arguments)
    with module.alone(1):
        module.initialize()
        session = module.open_session(_SLOT)
        module.functions.call("Login", session, _SECURITY_OFFICER, b"", 0)
        module.functions.call("InitPIN", session, PIN.encode(), len(PIN))
        module.close_session(session)
    leave_module(module, 1)
    return arguments


def token_settings(folder: Path) -> Mapping[str, str]:
    """Make a database in a folder; return the variables that have a server keep its domain keys in it."""
    return {
        "STRONGROOM_KEY_PROTECTION": "pkcs11-root",
        "STRONGROOM_PKCS11_MODULE": str(MODULE),
        "STRONGROOM_PKCS11_TOKEN": LABEL,
        "STRONGROOM_PKCS11_PIN_FILE": str(pin_file(folder, PIN)),
        "STRONGROOM_PKCS11_INIT_ARGS": new_database(folder / "nss"),
    }
