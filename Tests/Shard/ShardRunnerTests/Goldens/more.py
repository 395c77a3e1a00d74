def write_tokenizer(folder, v): pass
make_fp8=make_bert=make_gguf=None
