package libmm

// What the C library calls. Each function catches panics: they must not unwind the library's frames.

// #include <libmm.h>
import "C"

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"runtime/cgo"
	"sync"
	"syscall"
	"unsafe"
)

//export libmmGoLog
func libmmGoLog(user C.uintptr_t, level C.int32_t, area, line *C.char) {
	defer func() { _ = recover() }()
	log := cgo.Handle(user).Value().(func(LogLevel, string, string))
	log(LogLevel(level), C.GoString(area), C.GoString(line))
}

// outcome is how a callback on the caller's own goroutine went. settle hands it on after the call.
type outcome struct {
	err      error
	panicked any
}

func (o *outcome) guard(f func() error) (stop C.int32_t) {
	defer func() {
		if o.panicked = recover(); o.panicked != nil {
			stop = 1
		}
	}()
	if o.err = f(); o.err != nil {
		return 1
	}
	return 0
}

func (o *outcome) settle(err error) error {
	if o.panicked != nil {
		panic(o.panicked)
	}
	return because(err, o.err)
}

type progressCall struct {
	outcome
	report func(stage string, done, total uint64) error
}

//export libmmGoProgress
func libmmGoProgress(user C.uintptr_t, stage *C.char, done, total C.uint64_t) C.int32_t {
	p := cgo.Handle(user).Value().(*progressCall)
	return p.guard(func() error { return p.report(C.GoString(stage), uint64(done), uint64(total)) })
}

type writeCall struct {
	outcome
	w io.Writer
}

//export libmmGoWrite
func libmmGoWrite(user C.uintptr_t, bytes unsafe.Pointer, n C.size_t) C.int32_t {
	w := cgo.Handle(user).Value().(*writeCall)
	return w.guard(func() error {
		_, err := w.w.Write(unsafe.Slice((*byte)(bytes), int(n)))
		return err
	})
}

// ---- files ----

type hostFiles struct {
	fsys fs.FS
	mu   sync.Mutex
	dir  string // the directory listed last, and its names
	list []string
}

// at makes a path one of fs.FS's: without "." and "..".
func (h *hostFiles) at(name *C.char) string { return path.Clean(C.GoString(name)) }

// openFile serves ReadAt from whatever the file offers.
type openFile struct {
	f  fs.File
	at io.ReaderAt
}

type seekReader struct {
	mu sync.Mutex
	f  io.ReadSeeker
}

func (s *seekReader) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.f.Seek(off, io.SeekStart); err != nil {
		return 0, err
	}
	return io.ReadFull(s.f, p)
}

type wholeFile []byte

func (w wholeFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(w)) {
		return 0, io.EOF
	}
	n := copy(p, w[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// fileStatus turns an error into what mm_error.os_code will hold.
func fileStatus(err error) C.mm_status {
	var errno syscall.Errno
	switch {
	case err == nil:
		return C.MM_OK
	case errors.Is(err, ErrCancelled):
		return C.MM_E_CANCELLED
	case errors.As(err, &errno):
		return C.mm_status(errno)
	case errors.Is(err, fs.ErrNotExist):
		return C.mm_status(syscall.ENOENT)
	case errors.Is(err, fs.ErrPermission):
		return C.mm_status(syscall.EACCES)
	case errors.Is(err, fs.ErrInvalid):
		return C.mm_status(syscall.EINVAL)
	}
	return C.mm_status(syscall.EIO)
}

// guardFile runs f and makes a panic an error: the threads these run on are not always a caller's.
func guardFile(f func() error) (st C.mm_status) {
	defer func() {
		if p := recover(); p != nil {
			st = C.MM_E_IO
		}
	}()
	return fileStatus(f())
}

//export libmmGoFileKind
func libmmGoFileKind(user C.uintptr_t, name *C.char) C.int32_t {
	kind := C.int32_t(C.MM_FILE_NONE)
	guardFile(func() error {
		h := cgo.Handle(user).Value().(*hostFiles)
		info, err := fs.Stat(h.fsys, h.at(name))
		if err == nil && info.IsDir() {
			kind = C.MM_FILE_DIRECTORY
		} else if err == nil {
			kind = C.MM_FILE_REGULAR
		}
		return err
	})
	return kind
}

//export libmmGoFileOpen
func libmmGoFileOpen(user C.uintptr_t, name *C.char, file *C.uintptr_t, bytes *C.uint64_t) C.mm_status {
	return guardFile(func() error {
		h := cgo.Handle(user).Value().(*hostFiles)
		f, err := h.fsys.Open(h.at(name))
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			f.Close()
			return err
		}
		size := info.Size()
		open := &openFile{f: f}
		if at, ok := f.(io.ReaderAt); ok {
			open.at = at
		} else if s, ok := f.(io.ReadSeeker); ok {
			open.at = &seekReader{f: s}
		} else {
			all, err := io.ReadAll(f)
			if err != nil {
				f.Close()
				return err
			}
			open.at, size = wholeFile(all), int64(len(all))
		}
		*file, *bytes = C.uintptr_t(cgo.NewHandle(open)), C.uint64_t(size)
		return nil
	})
}

//export libmmGoFileRead
func libmmGoFileRead(file C.uintptr_t, offset C.uint64_t, dst unsafe.Pointer, n C.size_t) C.mm_status {
	return guardFile(func() error {
		got, err := cgo.Handle(file).Value().(*openFile).at.ReadAt(unsafe.Slice((*byte)(dst), int(n)), int64(offset))
		if got == int(n) {
			return nil
		}
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	})
}

//export libmmGoFileClose
func libmmGoFileClose(file C.uintptr_t) {
	guardFile(func() error {
		h := cgo.Handle(file)
		defer h.Delete()
		return h.Value().(*openFile).f.Close()
	})
}

//export libmmGoFileList
func libmmGoFileList(user C.uintptr_t, directory *C.char, index C.uint32_t, name *C.char, n C.size_t) C.mm_status {
	status := C.mm_status(C.MM_OK)
	st := guardFile(func() error {
		h := cgo.Handle(user).Value().(*hostFiles)
		names, err := h.names(h.at(directory), index == 0)
		if err != nil {
			return err
		}
		if uint64(index) >= uint64(len(names)) {
			status = C.MM_END
			return nil
		}
		entry := names[index]
		if uint64(len(entry)) >= uint64(n) {
			return fmt.Errorf("a name of %d bytes is too long", len(entry))
		}
		copy(unsafe.Slice((*byte)(unsafe.Pointer(name)), int(n)), entry+"\x00")
		return nil
	})
	if st != C.MM_OK {
		return st
	}
	return status
}

// names lists a directory, from memory when it is the same one as before.
func (h *hostFiles) names(dir string, again bool) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !again && h.list != nil && h.dir == dir {
		return h.list, nil
	}
	entries, err := fs.ReadDir(h.fsys, dir)
	if err != nil {
		return nil, err
	}
	h.dir, h.list = dir, make([]string, 0, len(entries))
	for _, e := range entries {
		h.list = append(h.list, e.Name())
	}
	return h.list, nil
}
