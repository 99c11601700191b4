package libmm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg"
	"io"
	"log"
	"math"
	"os"

	"libmm"
)

// The models of the examples are tiny and untrained: what they say has no sense, but is always the same.
const folder = "../../tests/golden/"

func Example() {
	ctx := context.Background()
	model, err := libmm.Open(folder+"llava", libmm.WithPrecision(libmm.PrecisionExact))
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	question := libmm.Parts{libmm.ImageFile(folder + "_inputs/photo.jpg"), libmm.Text("What is in the picture?")}
	answer, err := model.Generate(ctx, question, libmm.WithMaxTokens(6))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.IDs, answer.Reason)
	// Output:
	// [159 384 337 229 353 266] length
}

func ExampleModel_Chat() {
	ctx := context.Background()
	model, err := libmm.Open(folder+"llama", libmm.WithPrecision(libmm.PrecisionExact))
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	stream := model.Chat(ctx, libmm.Parts{
		libmm.Message("system", libmm.Text("You are a lawyer.")),
		libmm.Message("user", libmm.Text("What does the licensor grant?")),
	}, libmm.WithMaxTokens(12), libmm.WithIgnoreEOS())
	defer stream.Close()
	for stream.Next(ctx) {
		switch e := stream.Event(); e.Kind {
		case libmm.EventText:
			fmt.Printf("%q ", e.Text)
		case libmm.EventEnd:
			fmt.Println(e.Text)
		}
	}
	if err := stream.Err(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// "an" "\\" " f" "\x00" "\f" "w" "�" "   " "ver" "@" "�" "a" length
}

func ExampleStream_Events() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	model, err := libmm.Open(folder+"llama", libmm.WithPrecision(libmm.PrecisionExact))
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	stream := model.Chat(ctx, libmm.Parts{libmm.Text("Hello")}, libmm.WithIgnoreEOS())
	defer stream.Close()
	n := 0
	for range stream.Events(ctx) {
		if n++; n == 3 {
			cancel() // enough
		}
	}
	fmt.Println(errors.Is(stream.Err(), libmm.ErrCancelled), errors.Is(stream.Err(), context.Canceled))
	// Output: true true
}

func ExampleModel_Transcribe() {
	ctx := context.Background()
	model, err := libmm.Open(folder+"whisper", libmm.WithPrecision(libmm.PrecisionExact))
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	segments := model.Transcribe(ctx, libmm.AudioFile(folder+"_inputs/speech_16k.wav"))
	defer segments.Close()
	for segments.Next(ctx) {
		s := segments.Segment()
		fmt.Printf("%v to %v: %q\n", s.Start, s.End, s.Text)
	}
	if err := segments.Err(); err != nil {
		log.Fatal(err)
	}
	code, _ := segments.Language()
	fmt.Println("language", code)
	// Output:
	// 100ms to 1.58s: "\x1b"
	// 1.68s to 3.16s: "n"
	// language en
}

func ExampleModel_Embed() {
	ctx := context.Background()
	model, err := libmm.Open(folder+"clip", libmm.WithPrecision(libmm.PrecisionExact))
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	file, err := os.Open(folder + "_inputs/photo.jpg")
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	photo, _, err := image.Decode(file)
	if err != nil {
		log.Fatal(err)
	}
	a, err := model.Embed(ctx, libmm.Image(photo))
	if err != nil {
		log.Fatal(err)
	}
	b, err := model.Embed(ctx, libmm.Text("a photo of a red circle"))
	if err != nil {
		log.Fatal(err)
	}
	cosine := 0.0
	for i := range a {
		cosine += float64(a[i]) * float64(b[i])
	}
	fmt.Printf("%d numbers, %.0f degrees apart\n", len(a), math.Acos(cosine)*180/math.Pi)
	// Output:
	// 24 numbers, 90 degrees apart
}

func ExampleModel_Score() {
	model, err := libmm.Open(folder+"clip", libmm.WithPrecision(libmm.PrecisionExact))
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	texts := []string{"a photo of a red circle", "a diagram of the software"}
	probabilities, err := model.Score(context.Background(), libmm.ImageFile(folder+"_inputs/photo.jpg"), texts)
	if err != nil {
		log.Fatal(err)
	}
	for i, t := range texts {
		fmt.Printf("%.2f %s\n", probabilities[i], t)
	}
	// Output:
	// 0.15 a photo of a red circle
	// 0.85 a diagram of the software
}

func ExampleModel_Tokenize() {
	model, err := libmm.Open(folder + "llama")
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	ids, err := model.Tokenize("free of charge", 0)
	if err != nil {
		log.Fatal(err)
	}
	text, err := model.Detokenize(ids, 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ids, text)
	// Output:
	// [69 272 68 277 283 71 308 70 68] free of charge
}

func ExampleModel_Info() {
	model, err := libmm.Open(folder + "llava")
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	tasks, err := model.Info("tasks")
	if err != nil {
		log.Fatal(err)
	}
	summary, err := model.Summary()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tasks, "from", summary.ModalitiesIn, "in", summary.Context, "positions")
	// Output:
	// generate from text image in 1024 positions
}

func ExampleError() {
	_, err := libmm.Open("no/such/model.gguf")
	var e *libmm.Error
	if errors.As(err, &e) {
		fmt.Println(e.Name, errors.Is(err, libmm.ErrIO), errors.Is(err, os.ErrNotExist))
		fmt.Println(e.Text)
	}
	// Output:
	// MM_E_IO true true
	// no/such/model.gguf: no such file or directory; check the path
}

func ExampleSession() {
	ctx := context.Background()
	model, err := libmm.Open(folder+"llama", libmm.WithPrecision(libmm.PrecisionExact))
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	session, err := model.NewSession(libmm.WithMaxTokens(4), libmm.WithIgnoreEOS())
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	for _, question := range []string{"Hello", "And now?"} {
		if err := session.Feed(libmm.Text(question)); err != nil {
			log.Fatal(err)
		}
		for {
			event, err := session.Next(ctx)
			if err == io.EOF {
				break
			}
			if err != nil {
				log.Fatal(err)
			}
			if event.Kind == libmm.EventEnd {
				fmt.Println(event.PromptTokens, "positions asked,", event.IDs)
			}
		}
	}
	// Output:
	// 25 positions asked, [247 162 180 64]
	// 62 positions asked, [116 197 181 308]
}

func ExampleSession_Save() {
	ctx := context.Background()
	model, err := libmm.Open(folder+"llava", libmm.WithPrecision(libmm.PrecisionExact))
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	session, err := model.NewSession(libmm.WithMaxTokens(4), libmm.WithIgnoreEOS())
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	if err := session.Feed(libmm.ImageFile(folder+"_inputs/photo.jpg"), libmm.Text("What is it?")); err != nil {
		log.Fatal(err)
	}
	for err == nil {
		_, err = session.Next(ctx)
	}
	var snapshot bytes.Buffer
	if err := session.Save(&snapshot); err != nil {
		log.Fatal(err)
	}
	again, err := model.LoadSession(snapshot.Bytes())
	if err != nil {
		log.Fatal(err)
	}
	defer again.Close()
	entries, err := again.Stat("entries")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(entries, "entries are back: a question with its picture, and the answer")
	// Output: 2 entries are back: a question with its picture, and the answer
}
