// Package libmm runs multimodal models inside your own process: pictures, sound and text in, text and vectors out. It is
// a thin layer over the C library of the same name; include/libmm.h is the manual of what lies below.
//
// The nouns are the library's. An Engine holds memory, threads and the device. A Model holds weights: it never changes
// and serves any number of goroutines. A Session is one timeline on a model: what was fed, what was answered. An Input is
// a list of text, pictures, sound and chat messages; most callers never see one and pass Parts instead.
//
//	model, err := libmm.Open("llava.gguf")
//	if err != nil { ... }
//	defer model.Close()
//	stream := model.Chat(ctx, libmm.Parts{libmm.ImageFile("cat.jpg"), libmm.Text("What is in the picture?")})
//	defer stream.Close()
//	for stream.Next(ctx) {
//		fmt.Print(stream.Event().Text)
//	}
//	return stream.Err()
//
// # Building
//
// The package uses cgo and asks pkg-config for libmm. In the source tree, `-tags libmm_tree` takes the library from lib/
// and the header from include/ instead. The module is called libmm, without a host, because it is used from a folder:
//
//	require libmm v0.2.0
//	replace libmm => /path/to/libmm/bindings/go
//
// # Contexts
//
// A call that computes takes a context. When that is done the answer under way is given up, the call returns an error
// that is both ErrCancelled and the context's own, and the session is as it was before the last feed.
//
// # Errors
//
// Every error of the library is an *Error with a Status and one sentence that names place and remedy. errors.Is compares
// with ErrIO, ErrFormat and so on, and sees through to fs.ErrNotExist, context.Canceled or what a callback returned.
//
// # Goroutines
//
// Functions, an Engine and a Model may be used by any number of goroutines. A Session, an Input and a Stream are for one
// at a time; a second one gets ErrState. Cancel and Close are the exceptions, they may be called at any time.
//
// # Lifetime
//
// Close gives a handle back; calling it again does nothing, using the handle afterwards is ErrState. Handles may be closed
// in any order: a session keeps its model alive. What is never closed is given back when the garbage collector finds it,
// but it does not see how much memory hangs on a handle, so close what is big.
//
// # Callbacks
//
// Log and progress functions, file systems and the writer of a snapshot are called from inside the library. Of this
// package they may only use Session.Cancel and Close; other calls return ErrState. No callback is on the path of a token.
//
// What libmm_experimental.h declares is there with -tags libmm_experimental. Two things of the C library stay out of reach: mm_allocator, because memory that Go manages must not be kept by C, and
// mm_executor, because goroutines are no threads and work that waits for its siblings may not be scheduled as such.
package libmm
