package libmm

// #include <libmm.h>
import "C"

// Option changes a session.
type Option func(*sessionConfig) error

type setting struct{ key, value string }

type sessionConfig struct {
	o        C.mm_session_options
	settings []setting
}

func newSessionConfig(opts []Option) (*sessionConfig, error) {
	c := &sessionConfig{}
	C.mm_session_options_init(&c.o, C.sizeof_mm_session_options)
	for i, o := range opts {
		if o == nil {
			return nil, fail(StatusArg, "option %d is nil", i)
		}
		if err := o(c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *sessionConfig) set(key, value string) error {
	c.settings = append(c.settings, setting{key, value})
	return nil
}

// Bits of mm_session_options.flags.
const (
	sessionRaw       = 1
	sessionIgnoreEOS = 2
	sessionLogProbs  = 4
)

// WithContextSize sets the positions the session has room for; 0 is the smaller of the model's context and 4096.
func WithContextSize(positions int) Option {
	return func(c *sessionConfig) error { return setU32(&c.o.n_ctx, "WithContextSize", positions) }
}

// WithMaxTokens limits an answer (speech: a window); 0 goes on until the context is full.
func WithMaxTokens(n int) Option {
	return func(c *sessionConfig) error { return setU32(&c.o.max_tokens, "WithMaxTokens", n) }
}

// WithTemperature sets how random answers are; 0, the default, always takes the likeliest token.
func WithTemperature(t float32) Option {
	return func(c *sessionConfig) error { c.o.temperature = C.float(t); return nil }
}

// WithTopK keeps the k likeliest tokens; 0 is off.
func WithTopK(k int) Option {
	return func(c *sessionConfig) error { return setU32(&c.o.top_k, "WithTopK", k) }
}

// WithTopP keeps the likeliest tokens that together have probability p; 1 is off.
func WithTopP(p float32) Option {
	return func(c *sessionConfig) error { c.o.top_p = C.float(p); return nil }
}

// WithMinP keeps tokens at least p times as likely as the likeliest; 0 is off.
func WithMinP(p float32) Option {
	return func(c *sessionConfig) error { c.o.min_p = C.float(p); return nil }
}

// WithRepeatPenalty makes tokens that were used less likely; 1 is off.
func WithRepeatPenalty(p float32) Option {
	return func(c *sessionConfig) error { c.o.repeat_penalty = C.float(p); return nil }
}

// WithSeed makes random answers repeatable.
func WithSeed(seed uint64) Option {
	return func(c *sessionConfig) error { c.o.seed = C.uint64_t(seed); return nil }
}

// WithTopLogProbs reports n alternatives with each text event, at most 20.
func WithTopLogProbs(n int) Option {
	return func(c *sessionConfig) error { return setU32(&c.o.top_logprobs, "WithTopLogProbs", n) }
}

func withFlag(flag C.uint32_t) Option {
	return func(c *sessionConfig) error { c.o.flags |= flag; return nil }
}

// WithRaw uses text as it is: no template; special tokens and placeholders are recognised.
func WithRaw() Option { return withFlag(sessionRaw) }

// WithIgnoreEOS goes on after the end-of-text token.
func WithIgnoreEOS() Option { return withFlag(sessionIgnoreEOS) }

// WithLogProbs reports the log-probability of each token.
func WithLogProbs() Option { return withFlag(sessionLogProbs) }

// WithSetting is Session.Set as an option, for the rarer ones.
func WithSetting(key, value string) Option {
	return func(c *sessionConfig) error { return c.set(key, value) }
}

// WithTask chooses "generate", "embed", "score" or "transcribe"; the default is the model's first.
func WithTask(task string) Option { return WithSetting("task", task) }

// WithStop ends an answer at any of these texts.
func WithStop(texts ...string) Option {
	return func(c *sessionConfig) error {
		for _, t := range texts {
			_ = c.set("stop", t)
		}
		return nil
	}
}

// WithTools gives the chat template a JSON array of tool definitions.
func WithTools(doc []byte) Option { return WithSetting("tools", string(doc)) }

// WithVariables gives the chat template a JSON object of further variables.
func WithVariables(doc []byte) Option { return WithSetting("variables", string(doc)) }

// WithLanguage is the ISO code of the spoken language; without it, it is detected.
func WithLanguage(code string) Option { return WithSetting("language", code) }

// WithTranslate translates speech to English.
func WithTranslate() Option { return WithSetting("translate", "1") }
