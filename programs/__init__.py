"""DSPy modules and the optimizer that compiles them.

- `classifier.TemplateClassifier`: the program. It takes an image and returns a label and probabilities; its state is
  its templates.
- `optimizer.IPO`: the optimizer (teleprompter). It searches templates with a reward and returns an optimised copy of
  the program.
- `search.search`: a search without DSPy's examples and programs.
- `describe.ImageDescriber`: describes images with a multimodal language model.
- `history.History`: the proposed templates with their scores.

A strategy finds new templates: see `ipo_prompts.programs.strategies`.

Source: Du, Sun and Snoek, "IPO: Interpretable Prompt Optimization for Vision-Language Models", NeurIPS 2024
(arXiv:2410.15397). Values and accuracies are fractions in [0, 1]; losses are mean cross-entropies in nats. Bad input
raises `ipo_prompts.metrics.errors.InputError`. If a language model cannot be reached,
`dspy.LMError` is raised.

From images to a saved program (the language model's key is read from the environment):

>>> import dspy
>>> from ipo_prompts import IPO, TemplateClassifier, draw, load_clip, load_data
>>> clip = load_clip("embedded")
>>> data = draw(load_data("embedded", seed=0), shots=1, val_shots=1, seed=0)
>>> student = TemplateClassifier(clip, data.class_names)
>>> lm = dspy.LM("openai/gpt-4o-mini", temperature=1.0)
>>> ipo = IPO(lm=lm, task="pictures of things", steps=1)
>>> program = ipo.compile(student, trainset=data.examples("train"), valset=data.examples("val"))
>>> program.save("program.json")
>>> TemplateClassifier.from_file("program.json").template == program.template
True
>>> student.template
'a photo of a <CLASS>.'
"""
