package daemon

import "golang.org/x/sys/unix"

// networkFileSystems are the magic numbers of file systems over a network (Linux,
// statfs(2)), on which SQLite's locks and shared memory do not work.
var networkFileSystems = map[int64]string{
	unix.NFS_SUPER_MAGIC: "NFS", unix.SMB_SUPER_MAGIC: "SMB", unix.CIFS_SUPER_MAGIC: "CIFS", unix.SMB2_SUPER_MAGIC: "SMB",
	unix.V9FS_MAGIC: "9P", unix.CEPH_SUPER_MAGIC: "Ceph", unix.AFS_SUPER_MAGIC: "AFS", unix.CODA_SUPER_MAGIC: "Coda",
}

// diskOf returns the free bytes of a folder's file system for an ordinary user, and
// the name of the file system if it is one over a network.
func diskOf(folder string) (free uint64, network string, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return 0, "", err
	}
	return s.Bavail * uint64(s.Bsize), networkFileSystems[int64(s.Type)], nil
}
