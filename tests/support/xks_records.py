"""A proxy of an external key store with a credential and a key, as the store keeps them."""

from keys_builder import NOW, locator
from strongroom.xks_proxy.registry import Usage, XksCredential, XksKey, XksProxy

PROXY = XksProxy("acme/one", locator(1).account, locator(1).region, "eu-central-1", NOW)
CREDENTIAL = XksCredential("ABCDEFGHIJKLMNOPQRSTUVWX", PROXY.prefix, b"wrapped", NOW)
XKS_KEY = XksKey(PROXY.prefix, "key-1", locator(1).key_id, (Usage.ENCRYPT, Usage.DECRYPT), NOW)
