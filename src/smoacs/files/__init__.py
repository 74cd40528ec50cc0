"""Files on disk: whole or not there, one writer at a time, and findings line by line."""

from smoacs.files.locks import locked
from smoacs.files.records import RecordFile, open_records, read_records
from smoacs.files.whole import (
    check_file,
    check_folder,
    clear_leftovers,
    is_disk_full,
    is_workspace,
    new_file,
    new_files,
    new_folder,
    user_path,
    why_full,
    write_file,
)

__all__ = [
    "RecordFile",
    "check_file",
    "check_folder",
    "clear_leftovers",
    "is_disk_full",
    "is_workspace",
    "locked",
    "new_file",
    "new_files",
    "new_folder",
    "open_records",
    "read_records",
    "user_path",
    "why_full",
    "write_file",
]
