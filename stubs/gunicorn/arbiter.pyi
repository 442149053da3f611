class Arbiter:
    WORKER_BOOT_ERROR: int
