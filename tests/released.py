"""LeWorldModel in the released layout, from its names alone: an independent reading for tests of the importer."""

import json
import re

import torch
import torch.nn.functional as F

DIM, HEADS, DEPTH, PATCH, FRAME, CONTEXT, BLOCK = 16, 2, 2, 16, 48, 3, 10
PREDICTOR_HEADS, HEAD_DIM = 2, 6
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]

CONFIG = {
    "encoder": {
        "size": "tiny",
        "patch_size": PATCH,
        "image_size": FRAME,
        "hidden_size": DIM,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": HEADS,
    },
    "predictor": {
        "num_frames": CONTEXT,
        "input_dim": DIM,
        "hidden_dim": DIM,
        "output_dim": DIM,
        "depth": DEPTH,
        "heads": PREDICTOR_HEADS,
        "mlp_dim": 24,
        "dim_head": HEAD_DIM,
        "dropout": 0.1,
        "emb_dropout": 0.0,
    },
    "action_encoder": {"input_dim": BLOCK, "emb_dim": DIM},
    "projector": {"input_dim": DIM, "output_dim": DIM, "hidden_dim": 32},
    "pred_proj": {"input_dim": DIM, "output_dim": DIM, "hidden_dim": 32},
}

OLDER = (
    (r"encoder\.layers\.(\d+)\.attention\.q_proj", r"encoder.encoder.layer.\1.attention.attention.query"),
    (r"encoder\.layers\.(\d+)\.attention\.k_proj", r"encoder.encoder.layer.\1.attention.attention.key"),
    (r"encoder\.layers\.(\d+)\.attention\.v_proj", r"encoder.encoder.layer.\1.attention.attention.value"),
    (r"encoder\.layers\.(\d+)\.attention\.o_proj", r"encoder.encoder.layer.\1.attention.output.dense"),
    (r"encoder\.layers\.(\d+)\.mlp\.fc1", r"encoder.encoder.layer.\1.intermediate.dense"),
    (r"encoder\.layers\.(\d+)\.mlp\.fc2", r"encoder.encoder.layer.\1.output.dense"),
    (r"encoder\.layers\.(\d+)\.layernorm", r"encoder.encoder.layer.\1.layernorm"),
)


def older_names(tensors):
    """The same tensors under the older names of the encoder."""
    renamed = {}
    for name, value in tensors.items():
        for pattern, replacement in OLDER:
            name = re.sub(f"^{pattern}", replacement, name)
        renamed[name] = value
    return renamed


def make_tensors(mlp_dim=4 * DIM):
    """Random weights by their newer released names; scales are about one and statistics are no identity."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return 0.3 * torch.randn(shape, generator=generator)

    tensors = {
        "encoder.embeddings.cls_token": random(1, 1, DIM),
        "encoder.embeddings.position_embeddings": random(1, 1 + (FRAME // PATCH) ** 2, DIM),
        "encoder.embeddings.patch_embeddings.projection.weight": random(DIM, 3, PATCH, PATCH) / PATCH,
        "encoder.embeddings.patch_embeddings.projection.bias": random(DIM),
        "predictor.pos_embedding": random(1, CONTEXT, DIM),
        "action_encoder.patch_embed.weight": random(10, BLOCK, 1),
        "action_encoder.patch_embed.bias": random(10),
    }

    def linear(name, num_in, num_out, bias=True):
        tensors[f"{name}.weight"] = random(num_out, num_in)
        if bias:
            tensors[f"{name}.bias"] = random(num_out)

    def norm(name, width=DIM):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = 1 + random(width), random(width)

    for i in range(DEPTH):
        layer = f"encoder.layers.{i}"
        for letter in "qkvo":
            linear(f"{layer}.attention.{letter}_proj", DIM, DIM)
        linear(f"{layer}.mlp.fc1", DIM, mlp_dim)
        linear(f"{layer}.mlp.fc2", mlp_dim, DIM)
        norm(f"{layer}.layernorm_before")
        norm(f"{layer}.layernorm_after")
        layer, inner = f"predictor.transformer.layers.{i}", PREDICTOR_HEADS * HEAD_DIM
        norm(f"{layer}.attn.norm")
        linear(f"{layer}.attn.to_qkv", DIM, 3 * inner, bias=False)
        linear(f"{layer}.attn.to_out.0", inner, DIM)
        norm(f"{layer}.mlp.net.0")
        linear(f"{layer}.mlp.net.1", DIM, 24)
        linear(f"{layer}.mlp.net.4", 24, DIM)
        linear(f"{layer}.adaLN_modulation.1", DIM, 6 * DIM)
    norm("encoder.layernorm")
    norm("predictor.transformer.norm")
    linear("action_encoder.embed.0", 10, 4 * DIM)
    linear("action_encoder.embed.2", 4 * DIM, DIM)
    for name in ("projector", "pred_proj"):
        linear(f"{name}.net.0", DIM, 32)
        norm(f"{name}.net.1", 32)
        tensors[f"{name}.net.1.running_mean"] = random(32)
        tensors[f"{name}.net.1.running_var"] = 1 + random(32).abs()
        tensors[f"{name}.net.1.num_batches_tracked"] = torch.tensor(7)
        linear(f"{name}.net.3", 32, DIM)
    return tensors


def write(folder, tensors, config=CONFIG):
    """A released checkpoint: weights.pt and config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, folder / "weights.pt")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


class Reference:
    """The released model, evaluated from its tensors as shared facts about its layout say; no dropout."""

    def __init__(self, tensors):
        self.tensors = tensors

    def linear(self, name, x):
        return F.linear(x, self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias"))

    def norm(self, name, x, eps):
        return F.layer_norm(x, x.shape[-1:], self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"], eps)

    def attend(self, q, k, v, num_heads, causal):
        """(N, T, h x d) each -> (N, T, h x d), by the formula."""
        q, k, v = (x.unflatten(-1, (num_heads, -1)).transpose(1, 2) for x in (q, k, v))
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        if causal:
            future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
            scores = scores.masked_fill(future, float("-inf"))
        return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)

    def project(self, name, x):
        x = self.linear(f"{name}.net.0", x)
        mean, var = (self.tensors[f"{name}.net.1.running_{word}"] for word in ("mean", "var"))
        x = (x - mean) / (var + 1e-5).sqrt() * self.tensors[f"{name}.net.1.weight"] + self.tensors[f"{name}.net.1.bias"]
        return self.linear(f"{name}.net.3", F.gelu(x))

    def encode(self, pixels):
        """(N, 3, h, w) uint8 -> (N, D)."""
        patch = "encoder.embeddings.patch_embeddings.projection"
        x = F.conv2d((pixels / 255 - MEAN) / STD, self.tensors[f"{patch}.weight"], self.tensors[f"{patch}.bias"], PATCH)
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([self.tensors["encoder.embeddings.cls_token"].expand(len(x), -1, -1), x], dim=1)
        x = x + self.tensors["encoder.embeddings.position_embeddings"]
        for i in range(DEPTH):
            layer = f"encoder.layers.{i}"
            normed = self.norm(f"{layer}.layernorm_before", x, 1e-12)
            q, k, v = (self.linear(f"{layer}.attention.{letter}_proj", normed) for letter in "qkv")
            x = x + self.linear(f"{layer}.attention.o_proj", self.attend(q, k, v, HEADS, causal=False))
            hidden = F.gelu(self.linear(f"{layer}.mlp.fc1", self.norm(f"{layer}.layernorm_after", x, 1e-12)))
            x = x + self.linear(f"{layer}.mlp.fc2", hidden)
        return self.project("projector", self.norm("encoder.layernorm", x, 1e-12)[:, 0])

    def predict(self, z, actions):
        """(B, T, D), (B, T, A) -> (B, T, D)."""
        weight = self.tensors["action_encoder.patch_embed.weight"][:, :, 0]
        c = F.linear(actions, weight, self.tensors["action_encoder.patch_embed.bias"])
        c = self.linear("action_encoder.embed.2", F.silu(self.linear("action_encoder.embed.0", c)))
        x = z + self.tensors["predictor.pos_embedding"][:, : z.shape[1]]
        for i in range(DEPTH):
            layer = f"predictor.transformer.layers.{i}"
            shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.linear(
                f"{layer}.adaLN_modulation.1", F.silu(c)
            ).chunk(6, dim=-1)
            y = F.layer_norm(x, (DIM,), eps=1e-6) * (1 + scale_a) + shift_a
            qkv = self.linear(f"{layer}.attn.to_qkv", self.norm(f"{layer}.attn.norm", y, 1e-5)).chunk(3, dim=-1)
            x = x + gate_a * self.linear(f"{layer}.attn.to_out.0", self.attend(*qkv, PREDICTOR_HEADS, causal=True))
            y = F.layer_norm(x, (DIM,), eps=1e-6) * (1 + scale_m) + shift_m
            y = F.gelu(self.linear(f"{layer}.mlp.net.1", self.norm(f"{layer}.mlp.net.0", y, 1e-5)))
            x = x + gate_m * self.linear(f"{layer}.mlp.net.4", y)
        return self.project("pred_proj", self.norm("predictor.transformer.norm", x, 1e-5).flatten(0, 1)).view_as(z)

    def rollout(self, z, actions):
        """(B, T, D), (B, T-1+H, A) -> (B, H, D), each from the last CONTEXT embeddings before it."""
        num_past = z.shape[1]
        while (end := z.shape[1]) <= actions.shape[1]:
            start = max(end - CONTEXT, 0)
            z = torch.cat([z, self.predict(z[:, start:end], actions[:, start:end])[:, -1:]], dim=1)
        return z[:, num_past:]
