"""--text_feature sbert, with a tiny random sentence-transformers model."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from cogmen.sbert import embed_sentences
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import read_preprocessed, write_dialogues
from erc.options import UserError
from tests.cogmen.conftest import make_dialogues


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The directory of a sentence-transformers model of width 12."""
    folder = tmp_path_factory.mktemp("sbert")
    words = ["[PAD]", "[UNK]", "[CLS]", "문장", *"0123456789_SesimproctFM"]
    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(dict.fromkeys(words))}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder / "bert")
    config = BertConfig(
        vocab_size=len(words), hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertModel(config).save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"))
    SentenceTransformer(modules=[transformer, Pooling(12)]).save(str(folder / "sbert"))
    return folder / "sbert"


def test_every_sentence_gets_its_own_embedding(model):
    sentences = ["문장 1", "문장 22", "문장 1", "", "문장 333"]
    vectors = embed_sentences(sentences, model, "cpu")
    naive = SentenceTransformer(str(model), device="cpu")
    for sentence, vector in zip(sentences, vectors, strict=True):
        np.testing.assert_allclose(vector, naive.encode(sentence), atol=1e-5)
    assert vectors.dtype == np.float32


def test_each_distinct_sentence_is_encoded_once(model, monkeypatch):
    seen = []
    encode = SentenceTransformer.encode
    monkeypatch.setattr(SentenceTransformer, "encode", lambda self, s, **k: seen.extend(s) or encode(self, s, **k))
    embed_sentences(["문장 1", "문장 22", "문장 1", "문장 1"], model, "cpu")
    assert sorted(seen) == ["문장 1", "문장 22"]


def test_through_the_script(model, run_script, tmp_path):
    write_dialogues(tmp_path / "feat.pkl", make_dialogues(sessions=3))
    paths = ("--feat_dir", tmp_path / "feat.pkl", "--res_dir", tmp_path / "p.pkl")
    run_script("COGMEN_code/preprocess.py", *paths)
    extracted = read_preprocessed(tmp_path / "p.pkl", KEMDY19)[0]["test"][1]
    assert extracted.features["t"].shape[1] == 16
    run_script("COGMEN_code/preprocess.py", *paths, "--text_feature", "sbert", "--sbert", model)
    dialogue = read_preprocessed(tmp_path / "p.pkl", KEMDY19)[0]["test"][1]
    expected = embed_sentences(extracted.sentences, model, "cpu")
    np.testing.assert_allclose(dialogue.features["t"], expected, atol=1e-5)
    np.testing.assert_array_equal(dialogue.features["a"], extracted.features["a"])


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"--sbert no/such-model: cannot be loaded .* hf download no/such-model"):
        embed_sentences(["문장"], "no/such-model", "cpu")
