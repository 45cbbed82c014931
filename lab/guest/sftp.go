package guest

import (
	"errors"
	"io"
	"os"
	"path"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"phoenix-run/lab/guest/account"
	"phoenix-run/lab/guest/vfs"
	"phoenix-run/lab/record"
)

// sftp serves a machine's tree to one client.
func (s *sshServer) sftp(user account.User, ch ssh.Channel) {
	h := &sftpHandler{g: s.r.g, view: s.r.viewOf(user)}
	h.view.Umask = 0o022
	server := sftp.NewRequestServer(ch, sftp.Handlers{FileGet: h, FilePut: h, FileCmd: h, FileList: h}, sftp.WithStartDirectory(user.Home))
	err := server.Serve()
	if closeErr := server.Close(); err == nil || errors.Is(err, io.EOF) {
		err = closeErr
	}
	if err != nil && !errors.Is(err, io.EOF) && s.r.ctx.Err() == nil {
		s.r.g.Journal("ssh.service", "sftp-server: "+err.Error())
	}
}

type sftpHandler struct {
	g    *Guest
	view *vfs.View
}

// as is the view for one request, with its trace.
func (h *sftpHandler) as(t *vfs.Trace) *vfs.View {
	v := *h.view
	v.Trace = t
	return &v
}

// done ends a request that changed something: the machine's state is kept, and the log gets its entry.
func (h *sftpHandler) done(end func(int, error), err error) error {
	if err == nil {
		err = h.g.Flush()
	}
	status := 0
	if err != nil {
		status = 1
	}
	end(status, err)
	return err
}

// Fileread implements sftp.FileReader.
func (h *sftpHandler) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	trace, end := h.g.audit(record.SFTP, "read", r.Filepath)
	f, err := h.as(trace).Open(r.Filepath, os.O_RDONLY, 0)
	if err := h.done(end, err); err != nil {
		return nil, err
	}
	if f.Stat().IsDir() {
		return nil, errors.Join(sftp.ErrSSHFxFailure, f.Close())
	}
	return f, nil
}

// Filewrite implements sftp.FileWriter. The log's entry is written when the file is closed.
func (h *sftpHandler) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	flags := r.Pflags()
	flag := os.O_WRONLY
	if flags.Read {
		flag = os.O_RDWR
	}
	for set, bit := range map[bool]int{flags.Creat: os.O_CREATE} {
		if set {
			flag |= bit
		}
	}
	if flags.Trunc {
		flag |= os.O_TRUNC
	}
	if flags.Excl {
		flag |= os.O_EXCL
	}
	perm := uint32(0o666)
	if r.AttrFlags().Permissions {
		perm = vfs.UnixPerm(r.Attributes().FileMode())
	}
	trace, end := h.g.audit(record.SFTP, "write", r.Filepath)
	f, err := h.as(trace).Open(r.Filepath, flag, perm)
	if err != nil {
		return nil, h.done(end, err)
	}
	return &sftpFile{File: f, h: h, end: end}, nil
}

type sftpFile struct {
	*vfs.File
	h   *sftpHandler
	end func(int, error)
}

func (f *sftpFile) Close() error { return f.h.done(f.end, f.File.Close()) }

// Filecmd implements sftp.FileCmder.
func (h *sftpHandler) Filecmd(r *sftp.Request) error {
	text := r.Filepath
	if r.Target != "" {
		text += " " + r.Target
	}
	trace, end := h.g.audit(record.SFTP, r.Method, text)
	return h.done(end, h.change(h.as(trace), r))
}

func (h *sftpHandler) change(v *vfs.View, r *sftp.Request) error {
	switch r.Method {
	case "Setstat":
		return setstat(v, r)
	case "Rename":
		if exists(v, r.Target) {
			return os.ErrExist
		}
		return v.Rename(r.Filepath, r.Target)
	case "PosixRename":
		return v.Rename(r.Filepath, r.Target)
	case "Rmdir":
		return v.Rmdir(r.Filepath)
	case "Remove":
		return v.Unlink(r.Filepath)
	case "Mkdir":
		return v.Mkdir(r.Filepath, 0o777)
	case "Link":
		return v.Link(r.Filepath, r.Target)
	case "Symlink":
		return v.Symlink(r.Filepath, r.Target)
	}
	return sftp.ErrSSHFxOpUnsupported
}

// PosixRename implements sftp.PosixRenameFileCmder.
func (h *sftpHandler) PosixRename(r *sftp.Request) error {
	trace, end := h.g.audit(record.SFTP, "PosixRename", r.Filepath+" "+r.Target)
	return h.done(end, h.as(trace).Rename(r.Filepath, r.Target))
}

func setstat(v *vfs.View, r *sftp.Request) error {
	flags, attrs := r.AttrFlags(), r.Attributes()
	var errs []error
	if flags.Size {
		f, err := v.Open(r.Filepath, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		errs = append(errs, f.Truncate(int64(attrs.Size)), f.Close())
	}
	if flags.UidGid {
		errs = append(errs, v.Chown(r.Filepath, int(attrs.UID), int(attrs.GID), true))
	}
	if flags.Permissions {
		errs = append(errs, v.Chmod(r.Filepath, vfs.UnixPerm(attrs.FileMode())))
	}
	if flags.Acmodtime {
		errs = append(errs, v.Chtimes(r.Filepath, time.Unix(int64(attrs.Mtime), 0), true))
	}
	return errors.Join(errs...)
}

// listing is a folder's entries.
type listing []os.FileInfo

func (l listing) ListAt(into []os.FileInfo, offset int64) (int, error) {
	if offset >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(into, l[offset:])
	if n < len(into) {
		return n, io.EOF
	}
	return n, nil
}

// Filelist implements sftp.FileLister.
func (h *sftpHandler) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	trace, end := h.g.audit(record.SFTP, r.Method, r.Filepath)
	v := h.as(trace)
	var list listing
	var err error
	switch r.Method {
	case "List":
		var infos []vfs.Info
		if infos, err = v.ReadDir(r.Filepath); err == nil {
			for _, info := range infos {
				list = append(list, info)
			}
		}
	case "Stat":
		var info vfs.Info
		if info, err = v.Stat(r.Filepath); err == nil {
			list = listing{info}
		}
	default:
		err = sftp.ErrSSHFxOpUnsupported
	}
	return list, h.done(end, err)
}

// Lstat implements sftp.LstatFileLister.
func (h *sftpHandler) Lstat(r *sftp.Request) (sftp.ListerAt, error) {
	info, err := h.view.Lstat(r.Filepath)
	if err != nil {
		return nil, err
	}
	return listing{info}, nil
}

// Readlink implements sftp.ReadlinkFileLister.
func (h *sftpHandler) Readlink(p string) (string, error) { return h.view.Readlink(path.Clean(p)) }
