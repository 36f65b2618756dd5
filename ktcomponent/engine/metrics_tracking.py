"""As `keras_tuner.engine.metrics_tracking`."""

from ktcomponent.metrics import MetricHistory, MetricObservation, MetricsTracker, infer_metric_direction

__all__ = ["MetricHistory", "MetricObservation", "MetricsTracker", "infer_metric_direction"]
