package libmm

import "sync"

// handle counts who needs an object of the C library: its owner until Close, calls that run, and children. The object is
// released when nobody is left, so Close may come at any time, from any goroutine.
type handle struct {
	mu     sync.Mutex
	refs   int
	closed bool
	busy   bool // a call that wants the object for itself is running
	free   func()
}

func (h *handle) init(free func()) { h.refs, h.free = 1, free }

func (h *handle) check(what string) error {
	if h.free == nil {
		return fail(StatusArg, "%s: made by no constructor", what)
	}
	if h.closed {
		return fail(StatusState, "%s: used after Close", what)
	}
	return nil
}

// enter begins a call that other goroutines may make too; leave ends it.
func (h *handle) enter(what string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.check(what); err != nil {
		return err
	}
	h.refs++
	return nil
}

func (h *handle) leave() { h.drop(false) }

// seize begins a call that needs the object for itself; yield ends it.
func (h *handle) seize(what string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.check(what); err != nil {
		return err
	}
	if h.busy {
		return fail(StatusState, "%s: in use by another call; one goroutine at a time", what)
	}
	h.busy = true
	h.refs++
	return nil
}

func (h *handle) yield() { h.drop(true) }

// keep adds the reference of a child; the caller holds one already.
func (h *handle) keep() {
	h.mu.Lock()
	h.refs++
	h.mu.Unlock()
}

func (h *handle) drop(yield bool) {
	h.mu.Lock()
	if yield {
		h.busy = false
	}
	h.refs--
	last := h.refs == 0
	h.mu.Unlock()
	if last {
		h.free()
	}
}

// close takes the owner's reference away, once. It reports whether this call did.
func (h *handle) close() bool {
	h.mu.Lock()
	first := !h.closed && h.free != nil
	h.closed = true
	h.mu.Unlock()
	if first {
		h.drop(false)
	}
	return first
}
