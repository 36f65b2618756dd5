"""Ready-made hypermodels for images, on Keras 3. Importing this imports Keras."""

from ktcomponent.applications.augment import HyperImageAugment
from ktcomponent.applications.efficientnet import HyperEfficientNet
from ktcomponent.applications.resnet import HyperResNet
from ktcomponent.applications.xception import HyperXception

__all__ = ["HyperEfficientNet", "HyperImageAugment", "HyperResNet", "HyperXception"]
