//! What of the file system a process sees: paths come in, a list of mounts comes out. Pure but for [`Look`], which asks the disk.
