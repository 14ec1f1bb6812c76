"""Signs what a store holds already, when a platform begins to sign: from then on it trusts nothing else."""

import logging

from headrace_functions.errors import DamagedDocument
from headrace_functions.storage import layout
from headrace_functions.storage.documents import encode, parse
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.storage.signed_documents import SIGNATURE, SIGNED, DocumentKey, is_signed, unsigned

log = logging.getLogger(__name__)


def sign_documents(objects: ObjectStore, key: DocumentKey, *, others: bool = False) -> int:
    """Sign the documents that bear no signature, and with ``others`` those of another key too; how many these were.

    It may be repeated. What is no document stays as it is, and is told.
    """
    count = 0
    for place in (info.key for folder in (*SIGNED, layout.MODELS) for info in objects.walk(folder)):
        if not is_signed(place) or not place.endswith(".json"):
            continue
        try:
            document = parse(place, objects.get(place), dict)
        except DamagedDocument as error:
            log.warning("%s stays unsigned", error.message)
            continue
        sealed = key.seal(place, unsigned(place, document))
        if document.get(SIGNATURE) != sealed[SIGNATURE] and (others or SIGNATURE not in document):
            objects.put(place, encode(sealed))
            count += 1
    if count:
        log.info("signed %d documents that the store held", count)
    return count
