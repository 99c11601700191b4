/* What `mm --help` and `mm --version` print. The manual page beside it names every option, too; a test compares them. */
#include "mm.h"

void usage(FILE *to)
{
    fputs("usage: mm COMMAND MODEL [ARGUMENT] [OPTIONS]\n"
          "\n"
          "  run MODEL [PROMPT|-]      answer a prompt; without one, chat (on a terminal)\n"
          "      --image FILE  --audio FILE    media for the prompt, in order; <image> and <audio> in it place them\n"
          "      --system TEXT                 what stands before the conversation\n"
          "      --messages FILE.json          a conversation in the OpenAI layout\n"
          "      --raw                         no chat template; special tokens are recognised\n"
          "      --max-tokens N                longest answer (0, the default: until the context is full)\n"
          "      --ctx N                       positions of the context (default: the model's, at most 4096)\n"
          "      --kv-type f16|f32|q8_0        what keys and values are kept in; q8_0 takes half of f16 (bench, too)\n"
          "      --truncate                    a prompt that is too long loses its middle\n"
          "      --temp X                      0, the default, always takes the most likely token\n"
          "      --top-k N  --top-p X  --min-p X  --repeat-penalty X  --seed N\n"
          "                                    (defaults 0 1 0 1 0: all off)\n"
          "      --stop TEXT  --ignore-eos     where the answer ends\n"
          "      --json  --top-logprobs N      one JSON object a line; with the N most likely tokens (up to 20)\n"
          "      --decoder-prompt TEXT  --force-ids \"ID ID ...\"\n"
          "                                    what the answer begins with\n"
          "      --lookup N                    try up to N tokens at once, drafted from what was said before: the same answer, sooner\n"
          "                                    where it repeats itself or its prompt\n"
          "  transcribe MODEL AUDIO    print what is said\n"
          "      --language xx                 ISO code (default: detected)\n"
          "      --translate                   into English\n"
          "      --json | --srt | --vtt        other forms of output\n"
          "      --max-tokens N                for each window of 30 s\n"
          "  embed MODEL (--text TEXT | --image FILE | --audio FILE)...\n"
          "                            a vector of each and their cosines [--json]\n"
          "  score MODEL --image FILE... --text TEXT...\n"
          "                            how likely each text goes with each picture [--json]\n"
          "  tokenize MODEL (TEXT | --file FILE)\n"
          "                            token ids [--json] [--special: recognise special tokens]\n"
          "  info MODEL                what it is made of [--json] [--tensors]\n"
          "  devices                   what the library can run on [--json]\n"
          "      --self-test                   every kernel of each Vulkan device against the processor's result\n"
          "  bench MODEL               speed, load time and memory [--json]\n"
          "      --prompt N  --gen N  --reps N tokens, tokens, repetitions (defaults 512 64 3)\n"
          "      --file FILE                   a text to answer instead of random tokens\n"
          "      --lookup N                    answers with and without drafts by turns, and the ratio of their speeds\n"
          "      --encode                      time the encoder of a model that generates, too\n"
          "      --counts                      what a device counts, to the first event and for each token\n"
          "      --synthetic NAME [--keep FOLDER]\n"
          "                                    instead of MODEL: random weights of a real one's shape (? lists them), in memory\n"
          "                                    or as files in FOLDER\n"
          "  help, --help  version, --version\n"
          "\n"
          "common: --threads N (default: the physical cores)  --device NAME (mm devices)  --precision fast|exact (default fast)\n"
          "        --gpu-layers N  --place PART=cpu,...  (what of a model a device gets; parts: encoder bridge decoder)\n"
          "        --device-cache FOLDER  (keeps what the device's driver compiles)\n"
          "        --dump STAGE=FILE.safetensors  -v (say more)\n"
          "exit status: 0 ok, 1 run-time error, 2 usage, 3 unsupported model, 4 damaged model file\n",
          to);
}

void version(FILE *to)
{
    const uint32_t v = mm_version();
    fprintf(to, "mm %u.%u.%u\n", (unsigned)(v >> 16), (unsigned)(v >> 8 & 0xff), (unsigned)(v & 0xff));
}
