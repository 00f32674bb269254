"""Token shards that several workdirs share.

The shared folder has a folder for each tokenizer and text, named by a digest of
both. Workdirs have links to its files.
"""

import hashlib
import os
import shutil


def shared_name(tokenizer, documents):
    """Return the name of shared shards: a digest of tokenizer and text."""
    found = hashlib.sha256(tokenizer.fingerprint.encode())
    for document in documents:
        found.update(b"%d\n" % len(document))
        found.update(document)
    return found.hexdigest()


def link_folder(source, target):
    """Give files a second folder, which is complete or does not exist.

    Link the files if both folders are on one disk; copy them otherwise.
    """

    def link(old, new):
        try:
            os.link(old, new)
        except OSError:
            shutil.copyfile(old, new)

    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary, copy_function=link)
    try:
        temporary.rename(target)
    except OSError:
        # Another process was faster, and wrote the same.
        shutil.rmtree(temporary)
        if not target.exists():
            raise
