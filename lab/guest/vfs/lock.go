package vfs

// Lock takes flock(2)'s kind of lock on an open file for an owner, and reports whether it could.
func (f *FS) Lock(file *File, owner any, shared bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	holders := f.locks[file.n.ino]
	for other, isShared := range holders {
		if other != owner && !(shared && isShared) {
			return false
		}
	}
	if holders == nil {
		holders = map[any]bool{}
		f.locks[file.n.ino] = holders
	}
	holders[owner] = shared
	return true
}

// Unlock gives back all locks of an owner.
func (f *FS) Unlock(owner any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ino, holders := range f.locks {
		delete(holders, owner)
		if len(holders) == 0 {
			delete(f.locks, ino)
		}
	}
}
